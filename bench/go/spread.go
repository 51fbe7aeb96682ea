package main

import (
	"log"
	"sort"
	"sync"
	"time"
)

type computation struct {
	begin, end time.Time
	result     uint64
}

func (c *computation) compute(kind uint64) {
	c.begin = time.Now()
	c.result = arithmetic(kind, 200)
	c.end = time.Now()
}

// twoAtOnce gives when one began that did so before another had ended, or the end of all.
func twoAtOnce(all []computation) time.Time {
	sort.Slice(all, func(i, j int) bool { return all[i].begin.Before(all[j].begin) })
	end := all[0].end
	for _, c := range all[1:] {
		if c.begin.Before(end) {
			return c.begin
		}
		end = c.end
	}
	return end
}

// spread measures after how long two of eight computations, started from one goroutine, run at
// once: the median of the rounds.
func spread() (float64, string) {
	const computations, rounds, pause = 8, 200, time.Millisecond
	var expected [computations]computation
	for c := range expected {
		expected[c].compute(uint64(c))
	}
	var after []time.Duration
	for round := 0; round < rounds; round++ {
		time.Sleep(pause)
		all := make([]computation, computations)
		var wg sync.WaitGroup
		start := time.Now()
		for c := range all {
			c := c
			wg.Add(1)
			go func() {
				all[c].compute(uint64(c))
				wg.Done()
			}()
		}
		wg.Wait()
		for c := range all {
			if all[c].result != expected[c].result {
				log.Fatal("spread: wrong result")
			}
		}
		after = append(after, twoAtOnce(all).Sub(start))
	}
	sort.Slice(after, func(i, j int) bool { return after[i] < after[j] })
	return float64(after[rounds/2].Nanoseconds()) / 1e3, "us"
}

func init() { workloads["spread"] = spread }
