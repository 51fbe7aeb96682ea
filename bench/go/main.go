// Command bench is Go's side of the comparison: the programs of ../sluice, one subject a file.
//
//	bench [-min-time 500ms] [workload ...]
//
// prints a line "name value unit" for each workload named, or for all of them.
package main

import (
	"flag"
	"fmt"
	"log"
	"sort"
	"time"
)

var minTime = flag.Duration("min-time", 500*time.Millisecond, "shortest measurement")

// workloads maps a name to what measures it and returns a value and its unit.
var workloads = map[string]func() (float64, string){}

// register adds a workload whose body does n operations and tells whether the results were right.
//
// As with Google Benchmark, a first batch shorter than -min-time only warms up.
func register(name string, n int, body func(n int) bool) {
	batches := func(count int) time.Duration {
		start := time.Now()
		for i := 0; i < count; i++ {
			if !body(n) {
				log.Fatalf("%s: wrong result", name)
			}
		}
		return time.Since(start)
	}
	workloads[name] = func() (float64, string) {
		count := 1
		elapsed := batches(count)
		for elapsed < *minTime {
			count = int(1.4*float64(count)*float64(*minTime)/float64(elapsed)) + 1
			elapsed = batches(count)
		}
		return float64(elapsed.Nanoseconds()) / float64(count) / float64(n), "ns"
	}
}

func main() {
	log.SetFlags(0)
	echoPort := flag.Int("echo", 0, "serve TCP echo on this port of 127.0.0.1 instead")
	flag.Parse()
	if *echoPort != 0 {
		log.Fatal(serveEcho(*echoPort))
	}
	names := flag.Args()
	if len(names) == 0 {
		for name := range workloads {
			names = append(names, name)
		}
		sort.Strings(names)
	}
	for _, name := range names {
		measure, known := workloads[name]
		if !known {
			log.Fatalf("%s: no such workload", name)
		}
		value, unit := measure()
		fmt.Printf("%s %.1f %s\n", name, value, unit)
	}
}
