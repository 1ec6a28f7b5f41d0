//go:build linux

// Scanner trains the model of internal/scan and measures it. The same data and seed give the same weights, byte for byte.
//
//	go run ./bench/scanner train      writes internal/scan/weights.bin
//	go run ./bench/scanner evaluate   writes bench/SCANNER.md
//
// The data is public and third-party, and is not part of this repository: -data says where it lies. How attacks are composed,
// and the sentences that are made up for it, are in grammar.go and compose.go.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
)

type options struct {
	data, weights, report string
	seed                  uint64
	fast                  bool
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "scanner:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var o options
	flags := flag.NewFlagSet("scanner", flag.ContinueOnError)
	flags.StringVar(&o.data, "data", "../shared/data", "where the data lies")
	flags.StringVar(&o.weights, "weights", "internal/scan/weights.bin", "file of the weights")
	flags.StringVar(&o.report, "report", "bench/SCANNER.md", "file of the report")
	flags.Uint64Var(&o.seed, "seed", 1, "of all that is drawn at random")
	flags.BoolVar(&o.fast, "fast", false, "only what needs no training")
	if len(args) == 0 {
		return errors.New("say what to do: train or evaluate")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	c, err := readCorpus(o.data)
	if err != nil {
		return err
	}
	switch args[0] {
	case "train":
		return train(o, c)
	case "evaluate":
		return evaluate(o, c)
	}
	return fmt.Errorf("%q: say train or evaluate", args[0])
}
