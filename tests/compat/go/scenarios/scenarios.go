// Package scenarios is what both programs share: the records everybody writes and reads, and how a result is told.
package scenarios

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

const (
	Records        = 100
	ReadTopic      = "read"
	ReadPartitions = 3
	ReadRecords    = 100
	ReadFromMs     = int64(1_700_000_000_000)
	Timeout        = 30 * time.Second
)

func Key(n int64) []byte   { return []byte(fmt.Sprintf("k-%d", n)) }
func Value(n int64) []byte { return []byte(fmt.Sprintf("v-%d ", n) + strings.Repeat("again ", 20)) }

// A Scenario returns what else is to be told of it.
type Scenario func(bootstrap []string) map[string]any

func Say(line map[string]any) {
	text, err := json.Marshal(line)
	Must(err)
	fmt.Println(string(text))
}

func Must(err error) {
	if err != nil {
		panic(err)
	}
}

func Check(isSo bool, what string, arguments ...any) {
	if !isSo {
		panic(fmt.Errorf(what, arguments...))
	}
}

// Eventually waits: brokers learn of a change one after another, and any of them may be asked.
func Eventually(isSo func() bool, what string) {
	for deadline := time.Now().Add(Timeout); !isSo(); time.Sleep(10 * time.Millisecond) {
		Check(time.Now().Before(deadline), "%s", what)
	}
}

// UntilToldToStop is closed when nothing more comes on standard input.
func UntilToldToStop() <-chan struct{} {
	told := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(told)
	}()
	return told
}

// Run carries out the scenarios that the command line names: addresses, then names, with commas.
func Run(module string, byName map[string]Scenario) {
	Say(map[string]any{"version": version(module)})
	bootstrap := strings.Split(os.Args[1], ",")
	for _, name := range strings.Split(os.Args[2], ",") {
		Say(result(name, byName[name], bootstrap))
	}
}

func result(name string, scenario Scenario, bootstrap []string) (line map[string]any) {
	defer func() {
		if failure := recover(); failure != nil {
			reason := fmt.Sprintf("%v at %s", failure, place())
			line = map[string]any{"scenario": name, "ok": false, "reason": reason}
		}
	}()
	line = map[string]any{"scenario": name, "ok": true}
	for key, value := range scenario(bootstrap) {
		line[key] = value
	}
	return line
}

// The line of the program that failed.
func place() string {
	for _, line := range strings.Split(string(debug.Stack()), "\n") {
		if at := strings.Index(line, "main.go:"); at >= 0 {
			return strings.Fields(line[at:])[0]
		}
	}
	return "?"
}

func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, it := range info.Deps {
		if it.Path == module {
			return it.Version
		}
	}
	return "?"
}
