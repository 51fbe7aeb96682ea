package main

// spsc has one goroutine send to another through a buffer of 128.
func spsc(n int) bool {
	values := make(chan int, 128)
	go func() {
		for i := 0; i < n; i++ {
			values <- i
		}
		close(values)
	}()
	sum := 0
	for v := range values {
		sum += v
	}
	return sum == n*(n-1)/2
}

func init() { register("spsc", 4_000_000, spsc) }
