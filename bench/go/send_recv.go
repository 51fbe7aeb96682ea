package main

// sendRecv has one goroutine send to itself through a buffer of 1.
func sendRecv(n int) bool {
	values := make(chan int, 1)
	sum := 0
	for i := 0; i < n; i++ {
		values <- i
		sum += <-values
	}
	return sum == n*(n-1)/2
}

func init() { register("send_recv", 10_000_000, sendRecv) }
