// Command writ is the whole product in one binary: the server, and the commands of those who run it, ask it and check it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

// cli is every command.
type cli struct {
	Serve     serveCmd     `cmd:"" help:"Run the server."`
	Demo      demoCmd      `cmd:"" help:"Start a server in a fresh directory, run scripted agents against it, verify and replay."`
	Bundle    bundleCmd    `cmd:"" help:"Check, test, digest, diff and activate a bundle; which one was in force when."`
	Key       keyCmd       `cmd:"" help:"Issue, list and revoke the keys of agents."`
	Decide    decideCmd    `cmd:"" help:"Ask for the decision on one call."`
	Decisions decisionsCmd `cmd:"" help:"Find recorded decisions, or show one with its proof."`
	Approvals approvalsCmd `cmd:"" help:"What waits for a person, and voting on it."`
	Changes   changesCmd   `cmd:"" help:"Propose, review, activate and roll back changes of the bundle."`
	Switch    switchCmd    `cmd:"" help:"Stop agents, tools, categories, people or sessions at once, and let them go on."`
	Limits    limitsCmd    `cmd:"" help:"How much of the limits is used, and what models cost."`
	Incidents incidentsCmd `cmd:"" help:"Work on incidents: take, contain, resolve, report, close."`
	Detectors detectorsCmd `cmd:"" help:"What looks for what is wrong, whether it answers, and what it found."`
	Gameday   gamedayCmd   `cmd:"" help:"Exercise: inject what goes wrong, see that it is noticed and stopped, file what came of it."`
	People    peopleCmd    `cmd:"" help:"Invite, list and remove people."`
	Login     loginCmd     `cmd:"" help:"Sign in for the command line, through a browser."`
	Logout    logoutCmd    `cmd:"" help:"End the session of writ login."`
	Verify    verifyCmd    `cmd:"" help:"Check that a ledger is whole and untouched."`
	Replay    replayCmd    `cmd:"" help:"Judge recorded decisions again and compare."`
	Export    exportCmd    `cmd:"" help:"Write a ledger to a file that can be verified anywhere."`
	Import    importCmd    `cmd:"" help:"Drive recorded agent runs through the decision API."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

// std is where a command reads and writes.
type std struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// exitError ends the program with a status; what is to be said was said.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Exit statuses: what was checked is wrong; the command could not be carried out or was not understood.
const (
	exitWrong = 1
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], std{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(status)
}

// run is main without the process around it.
func run(ctx context.Context, args []string, s std) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("writ"), kong.Writers(s.out, s.err), kong.Exit(func(code int) { exited = code }),
		kong.Description("Writ decides, records and proves every tool call of your AI agents."),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(s), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		panic("writ: the commands do not parse: " + err.Error())
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintf(s.err, "writ: %v\nRun writ --help, or writ COMMAND --help for examples.\n", err)
		return exitUsage
	}
	err = kctx.Run()
	var exit exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	}
	fmt.Fprintf(s.err, "writ: %v\n", err)
	return exitUsage
}

type versionCmd struct{}

func (versionCmd) Run(s std) error {
	_, err := fmt.Fprintln(s.out, "writ", version())
	return err
}

// version is the module's version, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && v == "(devel)" {
			v = setting.Value
		}
	}
	return v
}
