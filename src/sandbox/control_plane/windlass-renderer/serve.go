package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"

	"sigs.k8s.io/kustomize/kyaml/openapi"
)

// Above it the heap is collected between two jobs; GOGC is off while one runs.
const mostKept = 64 << 20

// kustomize's own schema, before any job.
var ownSchemaVersion = openapi.GetSchemaVersion()

// What windlass sends: one line of JSON for each job.
type job struct {
	Program string `json:"program"`
	// As on the program's command line.
	Arguments []string `json:"arguments"`
	// Where the files are.
	Folder string `json:"folder"`
	// Some file may change kustomize's schema: it must not have been read yet.
	OwnSchema bool `json:"own_schema"`
}

// What comes back: one line of JSON, and then as many bytes as it says.
type answer struct {
	Failed bool `json:"failed"`
	Length int  `json:"length"`
}

func serve(in io.Reader, out *os.File) error {
	// Nothing that a library prints gets among the answers.
	os.Stdout = os.Stderr
	log.SetOutput(io.Discard)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	jobs := json.NewDecoder(bufio.NewReader(in))
	for {
		var next job
		if err := jobs.Decode(&next); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		text, failed, sound := run(next)
		if err := reply(out, text, failed); err != nil {
			return err
		}
		if !sound {
			return nil
		}
		collect()
	}
}

// Runs a job. What it returns is the output, or why it failed; and whether this
// process can go on: not after a panic.
func run(next job) (text []byte, failed, sound bool) {
	defer func() {
		if trouble := recover(); trouble != nil {
			text, failed, sound = fmt.Append(nil, trouble), true, false
		}
	}()
	if err := os.Chdir(next.Folder); err != nil {
		return fmt.Append(nil, err), true, false
	}
	if next.OwnSchema {
		openapi.ResetOpenAPI()
	}
	// Whatever was said of the job: another schema is for this job alone.
	defer func() {
		if next.OwnSchema || openapi.GetSchemaVersion() != ownSchemaVersion {
			openapi.ResetOpenAPI()
		}
	}()
	var out bytes.Buffer
	var err error
	switch next.Program {
	case "kustomize":
		err = kustomize(next.Arguments, &out)
	case "helm":
		err = template(next.Arguments, &out)
	default:
		err = fmt.Errorf("%s is no program of this renderer", next.Program)
	}
	if err != nil {
		return fmt.Append(nil, err), true, true
	}
	return out.Bytes(), false, true
}

func reply(out io.Writer, text []byte, failed bool) error {
	line, err := json.Marshal(answer{Failed: failed, Length: len(text)})
	if err != nil {
		return err
	}
	if _, err := out.Write(append(line, '\n')); err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}

func collect() {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	if memory.HeapAlloc > mostKept {
		debug.FreeOSMemory()
	}
}
