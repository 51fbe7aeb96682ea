package main

import (
	"runtime"
	"sync"
)

// yield has two goroutines give way to each other; an operation is a yield of both.
func yield(n int) bool {
	var wg sync.WaitGroup
	for t := 0; t < 2; t++ {
		wg.Add(1)
		go func() {
			for i := 0; i < n; i++ {
				runtime.Gosched()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	return true
}

func init() { register("yield", 1_000_000, yield) }
