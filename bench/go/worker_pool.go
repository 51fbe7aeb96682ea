package main

// arithmetic is the job of ../arithmetic.hpp, about a microsecond.
func arithmetic(x uint64) uint64 {
	for round := 0; round < 650; round++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

// kinds is how many different jobs there are, so that the sum of all results is cheap to foresee.
const kinds = 16

func expectedSum(n int) (sum uint64) {
	for kind := uint64(0); kind < kinds; kind++ {
		sum += arithmetic(kind) * uint64(n/kinds)
	}
	return sum
}

func arithmeticAlone(n int) bool {
	var sum uint64
	for i := 0; i < n; i++ {
		sum += arithmetic(uint64(i % kinds))
	}
	return sum == expectedSum(n)
}

// workerPool has four goroutines take jobs from a buffer of 128.
func workerPool(n int) bool {
	const workers = 4
	jobs, sums := make(chan uint64, 128), make(chan uint64)
	for w := 0; w < workers; w++ {
		go func() {
			var sum uint64
			for job := range jobs {
				sum += arithmetic(job)
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
	return sum == expectedSum(n)
}

func init() {
	register("arithmetic", 160_000, arithmeticAlone)
	register("worker_pool", 160_000, workerPool)
}
