//go:build linux

package e2e

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-dev/writ/internal/identity/identitytest"
)

// TestTheConsoleInABrowser runs browser/console.test.mjs with Chromium against the binary. WRIT_SCREENSHOTS=DIR keeps pictures of
// every page; WRIT_BROWSER_ONLY=PATTERN runs the tests whose names match.
func TestTheConsoleInABrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("Chromium is not installed: make tools installs it")
	}
	if _, err := os.Stat("browser/node_modules/playwright-core"); err != nil {
		install := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund")
		install.Dir = "browser"
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
	}
	idp := identitytest.New(t)
	idp.Browser("writ-console", "http://localhost/console/sign-in/callback")
	idp.Person("yuki", map[string]any{"name": "Yuki Tanaka", "groups": []string{"finance"}, "amr": []string{"pwd", "otp"}})
	t.Setenv("WRIT_ISSUER", "url="+idp.URL+",audience=writ-console,for=people")
	s := newServer(t, place{data: t.TempDir()})
	test := exec.CommandContext(t.Context(), "node", "--test", "--test-reporter=spec", "--test-name-pattern="+cmp.Or(os.Getenv("WRIT_BROWSER_ONLY"), "."), "console.test.mjs")
	test.Dir = "browser"
	test.Env = append(os.Environ(), "WRIT_URL="+strings.Replace(s.url, "127.0.0.1", "localhost", 1), "WRIT_ADMIN_TOKEN="+s.admin, "CHROMIUM="+chromium, "WRIT_IDP="+idp.URL, "HOME="+t.TempDir())
	if dir := os.Getenv("WRIT_SCREENSHOTS"); dir != "" {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join("..", dir) // of the project, not of this package
		}
		whole, err := filepath.Abs(dir)
		if err != nil {
			t.Fatal(err)
		}
		test.Env = append(test.Env, "WRIT_SCREENSHOTS="+whole)
	}
	out, err := test.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	s.sound() // what people did verifies and replays
}
