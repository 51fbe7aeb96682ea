package main

// ring passes a value round 1,000 goroutines, each adding one; an operation is a hop.
func ring(n int) bool {
	const tasks = 1000
	first := make(chan int)
	last := first
	for t := 1; t < tasks; t++ {
		next := make(chan int)
		go func(in <-chan int, out chan<- int) {
			for v := range in {
				out <- v + 1
			}
			close(out)
		}(last, next)
		last = next
	}
	value := 0
	for lap := 0; lap < n/tasks; lap++ {
		first <- value
		value = <-last + 1
	}
	close(first)
	_, open := <-last
	return value == n && !open
}

func init() { register("ring", 1_000_000, ring) }
