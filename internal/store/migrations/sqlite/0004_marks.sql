-- What a session knows: digests of identifiers, and whether they came from untrusted results alone.
ALTER TABLE session ADD COLUMN marks BLOB;
