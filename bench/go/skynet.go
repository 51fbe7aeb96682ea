package main

// skynetNode sends the sum of size numbers from first on, which its ten children add up.
func skynetNode(result chan<- int, first, size int) {
	if size == 1 {
		result <- first
		return
	}
	sums := make(chan int)
	for child := 0; child < 10; child++ {
		go skynetNode(sums, first+child*(size/10), size/10)
	}
	sum := 0
	for child := 0; child < 10; child++ {
		sum += <-sums
	}
	result <- sum
}

// skynet is a tree of goroutines with 1,000,000 leaves.
func skynet(int) bool {
	result := make(chan int)
	go skynetNode(result, 0, 1_000_000)
	return <-result == 499_999_500_000
}

func init() { register("skynet", 1, skynet) }
