package ledger

import (
	"context"

	"github.com/writ-dev/writ/internal/gov"
	"github.com/writ-dev/writ/internal/row"
)

// FindDoc reads the document at a key as what it is of. That there is none is a *gov.Error that says what there is not.
func FindDoc[T any](ctx context.Context, l *Ledger, key row.DocKey, what string, read func(row.Doc) (T, error)) (T, error) {
	doc, ok, err := l.store.Doc(ctx, l.name, key)
	if err == nil && !ok {
		err = &gov.Error{Code: gov.CodeNotFound, Detail: "there is no " + what}
	}
	if err != nil {
		var none T
		return none, err
	}
	return read(doc)
}

// ListDocs reads the documents of a kind as what they are of, newest first: those in a state (empty: any) opened below an index. next is
// the index to go on below, or 0.
func ListDocs[T any](ctx context.Context, l *Ledger, kind, state string, below int64, limit int, read func(row.Doc) (T, error)) (out []T, next int64, err error) {
	docs, err := l.store.Docs(ctx, l.name, kind, state, below, limit)
	if err != nil {
		return nil, 0, err
	}
	out = make([]T, len(docs))
	for i, doc := range docs {
		if out[i], err = read(doc); err != nil {
			return nil, 0, err
		}
	}
	if len(docs) == limit {
		next = docs[len(docs)-1].Opened
	}
	return out, next, nil
}
