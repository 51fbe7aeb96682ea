package main

// select2 sends to one of two channels, in turn, and selects over both.
func select2(n int) bool {
	a, b := make(chan int, 1), make(chan int, 1)
	turns := [...]chan int{a, b}
	sum := 0
	for i := 0; i < n; i++ {
		turns[i%len(turns)] <- i
		select {
		case v := <-a:
			sum += v
		case v := <-b:
			sum += v
		}
	}
	return sum == n*(n-1)/2
}

func select4(n int) bool {
	a, b, c, d := make(chan int, 1), make(chan int, 1), make(chan int, 1), make(chan int, 1)
	turns := [...]chan int{a, b, c, d}
	sum := 0
	for i := 0; i < n; i++ {
		turns[i%len(turns)] <- i
		select {
		case v := <-a:
			sum += v
		case v := <-b:
			sum += v
		case v := <-c:
			sum += v
		case v := <-d:
			sum += v
		}
	}
	return sum == n*(n-1)/2
}

func init() {
	register("select_2", 4_000_000, select2)
	register("select_4", 4_000_000, select4)
}
