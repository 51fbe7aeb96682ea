package main

import "sync"

// fanOut has four goroutines take jobs from one channel and send what they give to another.
func fanOut(n int) bool {
	const workers, microseconds = 4, 10
	jobs, results := make(chan uint64), make(chan uint64)
	go func() {
		for i := 0; i < n; i++ {
			jobs <- uint64(i % kinds)
		}
		close(jobs)
	}()
	var working sync.WaitGroup
	for w := 0; w < workers; w++ {
		working.Add(1)
		go func() {
			for job := range jobs {
				results <- arithmetic(job, microseconds)
			}
			working.Done()
		}()
	}
	go func() {
		working.Wait()
		close(results)
	}()
	var sum uint64
	for result := range results {
		sum += result
	}
	return sum == expectedSum(n, microseconds)
}

func init() { register("fan_out", 16_000, fanOut) }
