package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/ncruces/go-sqlite3"

	"github.com/writ-dev/writ/internal/gov"
)

// What a caller may know of a database's error.
const (
	reasonFull        = "the ledger's disk is full"
	reasonLate        = "the ledger did not answer in time"
	reasonBusy        = "another program holds the ledger's database"
	reasonReadOnly    = "the ledger's database cannot be written"
	reasonDisk        = "the ledger's disk is full or fails"
	reasonDamaged     = "the ledger's database is damaged; run writ verify"
	reasonContradicts = "the record contradicts what the ledger holds"
	reasonDenied      = "the ledger's database does not let this role write"
	reasonSilent      = "the ledger's database does not answer"
)

var errReadOnly error = &gov.Error{Code: gov.CodeLedgerUnavailable, Detail: "the ledger was opened for reading"}

// unavailable says to the caller that the database did not do it, with a plain reason, and keeps the cause for the log.
func unavailable(doing string, err error) error {
	var known *gov.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &gov.Error{Code: gov.CodeLedgerUnavailable, Detail: reason(err), Err: fmt.Errorf("%s: %w", doing, err)}
}

func reason(err error) string {
	var code sqlite3.ErrorCode
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg):
		return reasonPostgres(pg.Code)
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		return reasonLate
	case errors.As(err, &code):
		return reasonSQLite(code)
	}
	return reasonSilent
}

func reasonSQLite(code sqlite3.ErrorCode) string {
	switch code {
	case sqlite3.INTERRUPT:
		return reasonLate
	case sqlite3.BUSY, sqlite3.LOCKED:
		return reasonBusy
	case sqlite3.READONLY, sqlite3.PERM, sqlite3.CANTOPEN:
		return reasonReadOnly
	case sqlite3.FULL, sqlite3.IOERR: // a write without room is an I/O error to the driver, which drops the system's reason
		return reasonDisk
	case sqlite3.CORRUPT, sqlite3.NOTADB:
		return reasonDamaged
	case sqlite3.CONSTRAINT:
		return reasonContradicts
	default:
		return reasonSilent
	}
}

// reasonPostgres reads a SQLSTATE (PostgreSQL documentation, appendix A).
func reasonPostgres(state string) string {
	switch state {
	case "53100": // disk_full
		return reasonFull
	case "55P03", "57014", "25P03": // lock_not_available, query_canceled, idle_in_transaction_session_timeout
		return reasonLate
	case "25006": // read_only_sql_transaction
		return reasonReadOnly
	case "42501": // insufficient_privilege
		return reasonDenied
	case "P0001": // raise_exception: one of our triggers
		return reasonContradicts
	case "58030": // io_error
		return reasonDisk
	}
	switch {
	case strings.HasPrefix(state, "23"): // integrity constraint violation
		return reasonContradicts
	case strings.HasPrefix(state, "XX"): // internal error, data or index corrupted
		return reasonDamaged
	}
	return reasonSilent
}
