package main

const jobMicroseconds = 1

func arithmeticAlone(n int) bool {
	var sum uint64
	for i := 0; i < n; i++ {
		sum += arithmetic(uint64(i%kinds), jobMicroseconds)
	}
	return sum == expectedSum(n, jobMicroseconds)
}

// workerPool has four goroutines take jobs from a buffer of 128.
func workerPool(n int) bool {
	const workers = 4
	jobs, sums := make(chan uint64, 128), make(chan uint64)
	for w := 0; w < workers; w++ {
		go func() {
			var sum uint64
			for job := range jobs {
				sum += arithmetic(job, jobMicroseconds)
			}
			sums <- sum
		}()
	}
	for i := 0; i < n; i++ {
		jobs <- uint64(i % kinds)
	}
	close(jobs)
	var sum uint64
	for w := 0; w < workers; w++ {
		sum += <-sums
	}
	return sum == expectedSum(n, jobMicroseconds)
}

func init() {
	register("arithmetic", 160_000, arithmeticAlone)
	register("worker_pool", 160_000, workerPool)
}
