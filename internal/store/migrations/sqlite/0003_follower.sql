-- What a follower remembers beside how far it has come: derived, and made again from the entries when it is not there.
ALTER TABLE follower ADD COLUMN state BLOB;
