package main

// kinds is how many different jobs there are, so that the sum of all results is cheap to foresee.
const kinds = 16

// arithmetic is the job of ../arithmetic.hpp, about as many microseconds.
func arithmetic(x uint64, microseconds int) uint64 {
	for round := 0; round < 650*microseconds; round++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

// expectedSum is the sum over the jobs i % kinds for all i below n, a multiple of kinds.
func expectedSum(n, microseconds int) (sum uint64) {
	for kind := uint64(0); kind < kinds; kind++ {
		sum += arithmetic(kind, microseconds) * uint64(n/kinds)
	}
	return sum
}
