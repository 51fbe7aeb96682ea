package main

import (
	"sync"
	"sync/atomic"
)

// poolJobs has four goroutines do jobs from a channel of functions.
func poolJobs(n int) bool {
	const workers, queue = 4, 128
	type tally struct {
		done int64
		_    [56]byte
	}
	var all [16]tally
	jobs := make(chan func(), queue)
	var wg sync.WaitGroup
	for w := 0; w < workers; w++ {
		wg.Add(1)
		go func() {
			for job := range jobs {
				job()
			}
			wg.Done()
		}()
	}
	for i := 0; i < n; i++ {
		t := &all[i%16]
		jobs <- func() { atomic.AddInt64(&t.done, 1) }
	}
	close(jobs)
	wg.Wait()
	total := int64(0)
	for i := range all {
		total += all[i].done
	}
	return total == int64(n)
}

func init() { register("pool_jobs", 1_000_000, poolJobs) }
