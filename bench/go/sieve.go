package main

// sieve finds the first 2,500 primes with a goroutine for each, the classic daisy chain.
func sieve(int) bool {
	const primes, largest = 2500, 22307
	numbers := make(chan int)
	go func(out chan<- int) {
		for i := 2; i <= largest; i++ {
			out <- i
		}
		close(out)
	}(numbers)
	prime := 0
	for i := 0; i < primes; i++ {
		prime = <-numbers
		rest := make(chan int)
		go func(prime int, in <-chan int, out chan<- int) {
			for v := range in {
				if v%prime != 0 {
					out <- v
				}
			}
			close(out)
		}(prime, numbers, rest)
		numbers = rest
	}
	_, open := <-numbers
	return prime == largest && !open
}

func init() { register("sieve", 1, sieve) }
