//go:build race

package lab_test

// raceDetector says that the tests run with the race detector.
const raceDetector = true
