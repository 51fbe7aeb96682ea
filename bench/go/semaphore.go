package main

import "sync"

// semaphore is a buffered channel, as Go programs have it.
func semaphore(n int) bool {
	const sharers, permits = 8, 4
	type tally struct {
		n int
		_ [56]byte
	}
	var counts [sharers]tally
	s := make(chan struct{}, permits)
	var wg sync.WaitGroup
	for t := range counts {
		count := &counts[t]
		wg.Add(1)
		go func() {
			for i := 0; i < n/sharers; i++ {
				s <- struct{}{}
				count.n++
				<-s
			}
			wg.Done()
		}()
	}
	wg.Wait()
	total := 0
	for _, count := range counts {
		total += count.n
	}
	return total == n
}

func init() { register("semaphore", 4_000_000, semaphore) }
