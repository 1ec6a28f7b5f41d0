package store

import (
	"context"
	"database/sql"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

// readOnly is the driver of a store that is only read.
type readOnly struct{}

func (readOnly) append(context.Context, gov.Environment, row.Want, *row.Payload, func(row.Found) (row.Commit, error)) error {
	return errReadOnly
}
func (readOnly) write(context.Context, func(*sql.Tx) error) error { return errReadOnly }
func (readOnly) tryLock(context.Context, string) (func(), bool, error) {
	return nil, false, errReadOnly
}
func (readOnly) exclusive() bool                   { return false }
func (readOnly) maintain(context.Context)          {}
func (readOnly) scrubErased(context.Context) error { return errReadOnly }
func (readOnly) close() error                      { return nil }
