package main

import "sync"

// mpmc has four goroutines send to four others through one channel.
func mpmc(capacity, n int) bool {
	const tasks = 4
	values, sums := make(chan int, capacity), make(chan int)
	var producers sync.WaitGroup
	for t := 0; t < tasks; t++ {
		producers.Add(1)
		go func() {
			for i := 0; i < n/tasks; i++ {
				values <- i
			}
			producers.Done()
		}()
		go func() {
			sum := 0
			for v := range values {
				sum += v
			}
			sums <- sum
		}()
	}
	producers.Wait()
	close(values)
	sum := 0
	for t := 0; t < tasks; t++ {
		sum += <-sums
	}
	share := n / tasks
	return sum == tasks*(share*(share-1)/2)
}

func init() {
	register("mpmc", 4_000_000, func(n int) bool { return mpmc(128, n) })
	register("mpmc_unbuffered", 1_000_000, func(n int) bool { return mpmc(0, n) })
}
