//go:build linux

package load

import (
	"bytes"
	"fmt"
)

// answer is where the parts of a response are in the buffer that holds it.
type answer struct {
	status    int
	body, end int
}

var (
	headerEnd  = []byte("\r\n\r\n")
	statusLine = []byte("HTTP/1.1 ")
	lengthName = []byte("\r\ncontent-length:")
)

// parse reads a response at the start of buf. ok is false while some of it is missing.
func parse(buf []byte) (a answer, ok bool, err error) {
	head := bytes.Index(buf, headerEnd)
	if head < 0 {
		return answer{}, false, nil
	}
	if !bytes.HasPrefix(buf, statusLine) || head < len(statusLine)+3 {
		return answer{}, false, fmt.Errorf("%w: starts with %q", ErrAnswer, buf[:min(len(buf), 20)])
	}
	for _, c := range buf[len(statusLine) : len(statusLine)+3] {
		if c < '0' || c > '9' {
			return answer{}, false, fmt.Errorf("%w: starts with %q", ErrAnswer, buf[:min(len(buf), 20)])
		}
		a.status = a.status*10 + int(c-'0')
	}
	length, found := contentLength(buf[:head])
	if !found {
		return answer{}, false, fmt.Errorf("%w: no Content-Length", ErrAnswer)
	}
	a.body = head + len(headerEnd)
	a.end = a.body + length
	if a.end > responseBytesMax {
		return answer{}, false, fmt.Errorf("%w: %d bytes, at most %d", ErrAnswer, a.end, responseBytesMax)
	}
	return a, len(buf) >= a.end, nil
}

// contentLength reads the value of the Content-Length header.
func contentLength(head []byte) (length int, found bool) {
	at := indexFold(head, lengthName)
	if at < 0 {
		return 0, false
	}
	for _, c := range head[at+len(lengthName):] {
		switch {
		case c >= '0' && c <= '9' && length <= responseBytesMax:
			length = length*10 + int(c-'0')
			found = true
		case c == ' ' && !found:
		case c == '\r':
			return length, found
		default:
			return 0, false
		}
	}
	return length, found
}

// indexFold finds a lower-case name that starts with \r in head, whatever the case of its letters there.
func indexFold(head, name []byte) int {
	for at := 0; at+len(name) <= len(head); at++ {
		next := bytes.IndexByte(head[at:], '\r')
		if next < 0 {
			return -1
		}
		at += next
		if at+len(name) <= len(head) && bytes.EqualFold(head[at:at+len(name)], name) {
			return at
		}
	}
	return -1
}
