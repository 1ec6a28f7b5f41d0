package store

// WithSynchronous opens a store with less durability than a server has.
func WithSynchronous(level string) SQLiteOption {
	return func(c *sqliteConfig) { c.synchronous = level }
}

// Checkpointer gives what Maintain does every time, and the end of the connection that it does it with.
func (s *Store) Checkpointer() (step func(), end func() error, err error) {
	d := s.driver.(*sqliteDriver)
	conn, err := d.openForCheckpoints()
	if err != nil {
		return nil, nil, err
	}
	return func() { d.checkpoint(conn) }, conn.Close, nil
}
