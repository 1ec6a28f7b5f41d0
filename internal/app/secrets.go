package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	secretPrefix   = "WRIT_SECRET_"
	secretBytesMax = 16 << 10
)

// checkSecrets refuses a place that is none: what is misspelt would be missed when it is needed.
func checkSecrets(dir string) error {
	if dir == "" {
		return nil
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("--secrets: %s is not a directory", dir)
	}
	return nil
}

// secret is the value of a secret that a bundle names: a file of that name in --secrets, or else the variable WRIT_SECRET_NAME.
// A file is read each time, so that a new value holds at once. The bundle takes only names without a slash or a dot.
func (a *App) secret(name string) (string, error) {
	value, err := a.secretFile(name)
	if err != nil {
		return "", err
	}
	if value == "" {
		value = os.Getenv(secretPrefix + name)
	}
	if value = strings.TrimSpace(value); value == "" {
		return "", fmt.Errorf("there is no secret %s: give it as %s%s or as a file in --secrets", name, secretPrefix, name)
	}
	return value, nil
}

// secretFile is empty when there is no such file.
func (a *App) secretFile(name string) (string, error) {
	if a.config.Secrets == "" {
		return "", nil
	}
	f, err := os.Open(filepath.Join(a.config.Secrets, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, secretBytesMax+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	if len(data) > secretBytesMax {
		return "", fmt.Errorf("secret %s is over %d bytes", name, secretBytesMax)
	}
	return string(data), nil
}
