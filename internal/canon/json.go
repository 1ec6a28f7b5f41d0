package canon

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/writ-dev/writ/internal/gov"
)

// DepthMax is how deep an input may nest; the object itself is level 1.
const DepthMax = 32

// exactDigitsMax is how many digits an integer literal may have so that a double holds it exactly whatever they are.
const exactDigitsMax = 15

// ParseObject reads one JSON object: string, json.Number, bool, nil, []any, map[string]any. It refuses what would not mean
// the same thing to everyone (RFC 7493): duplicate names, invalid UTF-8, numbers that overflow a double, anything behind the
// object, and nesting over DepthMax. Errors are *gov.Error with a JSON pointer.
func ParseObject(data []byte) (map[string]any, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(data))
	if dec.PeekKind() != '{' {
		if _, err := dec.ReadToken(); err != nil {
			return nil, malformed(dec, err)
		}
		return nil, &gov.Error{Code: gov.CodeInvalidField, Detail: "expected a JSON object"}
	}
	v, err := parseValue(dec)
	if err != nil {
		return nil, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, &gov.Error{Code: gov.CodeMalformedJSON, Detail: "something follows the JSON object"}
	}
	return v.(map[string]any), nil
}

func parseValue(dec *jsontext.Decoder) (any, error) {
	tok, err := dec.ReadToken()
	if err != nil {
		return nil, malformed(dec, err)
	}
	switch tok.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return tok.Bool(), nil
	case '"':
		return tok.String(), nil
	case '0':
		return parseNumber(dec, tok.String())
	case '{':
		return parseMembers(dec)
	case '[':
		return parseElements(dec)
	}
	return nil, &gov.Error{Code: gov.CodeMalformedJSON, Detail: "expected a JSON value"}
}

func parseNumber(dec *jsontext.Decoder, literal string) (any, error) {
	if _, err := strconv.ParseFloat(literal, 64); err != nil {
		return nil, &gov.Error{Code: gov.CodeInvalidField, Path: string(dec.StackPointer()), Detail: "the number does not fit a double (RFC 7493)"}
	}
	return json.Number(literal), nil
}

func parseMembers(dec *jsontext.Decoder) (any, error) {
	if err := checkDepth(dec); err != nil {
		return nil, err
	}
	m := make(map[string]any, 8)
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, malformed(dec, err)
		}
		key := name.String()
		if m[key], err = parseValue(dec); err != nil {
			return nil, err
		}
	}
	_, err := dec.ReadToken()
	return m, malformedOrNil(dec, err)
}

func parseElements(dec *jsontext.Decoder) (any, error) {
	if err := checkDepth(dec); err != nil {
		return nil, err
	}
	list := []any{}
	for dec.PeekKind() != ']' {
		v, err := parseValue(dec)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := dec.ReadToken()
	return list, malformedOrNil(dec, err)
}

func checkDepth(dec *jsontext.Decoder) error {
	if dec.StackDepth() <= DepthMax {
		return nil
	}
	return &gov.Error{Code: gov.CodeInvalidField, Path: string(dec.StackPointer()), Detail: "nested deeper than " + strconv.Itoa(DepthMax) + " levels"}
}

func malformedOrNil(dec *jsontext.Decoder, err error) error {
	if err == nil {
		return nil
	}
	return malformed(dec, err)
}

func malformed(dec *jsontext.Decoder, err error) error {
	detail := "the JSON ends too early"
	path := string(dec.StackPointer())
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		detail = syntax.Err.Error() + " at byte " + strconv.FormatInt(syntax.ByteOffset, 10)
		path = string(syntax.JSONPointer)
	}
	return &gov.Error{Code: gov.CodeMalformedJSON, Path: path, Detail: detail}
}

// AppendValue appends the canonical form (RFC 8785) of v, a value as ParseObject gives them.
func AppendValue(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case string:
		return appendString(dst, v)
	case json.Number:
		return appendNumber(dst, string(v))
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendValue(dst, e)
		}
		return append(dst, ']')
	case map[string]any:
		return appendObject(dst, v)
	}
	panic("canon: a value that is not JSON")
}

func appendObject(dst []byte, m map[string]any) []byte {
	var room [16]string
	names := room[:0]
	for name := range m {
		names = append(names, name)
	}
	slices.SortFunc(names, compareUTF16)
	dst = append(dst, '{')
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, name)
		dst = append(dst, ':')
		dst = AppendValue(dst, m[name])
	}
	return append(dst, '}')
}

func appendString(dst []byte, s string) []byte {
	dst, err := jsontext.AppendQuote(dst, s)
	if err != nil {
		panic("canon: a string that is not UTF-8")
	}
	return dst
}

// appendNumber writes the double that literal stands for, as ECMAScript does. A short integer is already in that form.
func appendNumber(dst []byte, literal string) []byte {
	digits := strings.TrimPrefix(literal, "-")
	if len(digits) <= exactDigitsMax && strings.Trim(digits, "0123456789") == "" && literal != "-0" {
		return append(dst, literal...)
	}
	number := jsontext.Value(literal)
	if err := number.Canonicalize(); err != nil {
		panic("canon: a number that is not JSON: " + literal)
	}
	return append(dst, number...)
}

// compareUTF16 orders names by their UTF-16 code units, as RFC 8785 asks. It differs from the order of the bytes only where
// one name has a character beyond U+FFFF and the other one from U+E000 to U+FFFF.
func compareUTF16(a, b string) int {
	if isASCII(a) && isASCII(b) {
		return strings.Compare(a, b)
	}
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
