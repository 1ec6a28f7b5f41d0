//go:build linux

// Bench measures how many decisions a second Writ answers over HTTP, each one recorded durably before it is answered, next to
// two peers in the same run: "echo", a net/http server that reads the request and answers at once, which is what any Go
// server costs; and OPA, which decides the same calls under the same policies and records nothing, or logs to a file.
//
// What is the same for all: the machine, the load generator, keep-alive connections of the loopback interface, the calls
// (nine allowed, one denied), their input of about 400 bytes. Writ and OPA have the same 20 or 500 policies, and every call
// of the load is asked once beforehand: a peer whose outcome or policies are not those that the table of policies gives is
// not measured. Peers are measured in turn, in rounds, and ratios are taken within a round, because shared machines are noisy.
//
// What Writ does and OPA does not: it looks the agent's key up by a hash, checks the input against the tool's JSON Schema,
// keeps the session's labels, hashes and signs a tree, and syncs to disk. OPA is given labels and assurance ready in its input.
// OPA's check of a bearer token is so dear that it is measured apart; the quick run compares with OPA without it.
//
// What is not measured: TLS, a network, requests that arrive regardless of answers (the generator is a closed loop, so its
// latencies are those of a busy server), other hardware. The generator shares the cores with the server, which lowers every
// number, the fast peer's the most in absolute terms.
//
//	go run ./bench                 full run, writes bench/RESULTS.md      (about 12 minutes)
//	go run ./bench -quick          under a minute, ends with a line of JSON
//	go run ./bench -big            5 million entries: memory, throughput, queries
//	go run ./bench -rates          what the detectors of rates notice; writes bench/DETECTORS.md
//	go run ./bench -beside WRIT    beside another build of writ: what a change of the code costs
//	go run ./bench -generators     compares the load generator with wrk
package main
