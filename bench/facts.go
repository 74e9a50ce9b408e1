package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// facts say where and how the numbers came about, without naming the machine.
type facts struct {
	Date       string `json:"date"`
	Command    string `json:"command"`
	Commit     string `json:"commit"`
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	Memory     string `json:"memory"`
	Kernel     string `json:"kernel"`
	Go         string `json:"go"`
	PostgreSQL string `json:"postgresql,omitempty"`
	Disk       string `json:"disk"`
	Credential string `json:"credential"`
	Took       string `json:"took"`
	Others     string `json:"others"`
	begin      time.Time
	busy, own  time.Duration
}

// gather begins the facts.
func gather(ctx context.Context, command string) facts {
	f := facts{
		Date: now().UTC().Format(time.DateOnly), Command: command, Commit: commit(ctx),
		CPU: procField("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Memory: procField("/proc/meminfo", "MemTotal"),
		Kernel: kernel(), Go: runtime.Version(),
		Credential: "AK/SK signatures (SDK-HMAC-SHA256), made before the measure; one measure by token beside it",
		begin:      now(), busy: busyTime(), own: ownTime(),
	}
	return f
}

// finish fills in what is known at the end.
func (f *facts) finish(disk *row) {
	took := now().Sub(f.begin)
	f.Took = took.Round(time.Second).String()
	if len(disk.Rounds) > 0 {
		f.Disk = fmt.Sprintf("%s appends of 4 KiB with fdatasync per second, p50 %s ms, p99 %s ms",
			number(disk.median(value)), number(disk.median(p50)), number(disk.median(p99)))
	}
	others := (busyTime() - f.busy) - (ownTime() - f.own)
	f.Others = fmt.Sprintf("%.1f %% of the processors went to other processes", 100*max(0, others.Seconds())/(took.Seconds()*float64(f.Cores)))
}

// list is the facts for people.
func (f *facts) list() [][2]string {
	all := [][2]string{
		{"reproduce", "`" + f.Command + "`"},
		{"commit", f.Commit},
		{"processor", fmt.Sprintf("%d × %s", f.Cores, f.CPU)},
		{"memory", f.Memory},
		{"kernel", f.Kernel},
		{"Go", f.Go},
		{"PostgreSQL", f.PostgreSQL},
		{"disk", f.Disk},
		{"credentials", f.Credential},
		{"run", f.Took + "; " + f.Others},
	}
	var out [][2]string
	for _, v := range all {
		if v[1] != "" {
			out = append(out, v)
		}
	}
	return out
}

// commit names what was measured.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// procField returns the first value of a name in one of the kernel's lists.
func procField(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if key, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

// busyTime returns the processor time that all processes have used since the
// start of the machine, or 0 where the kernel does not say.
func busyTime() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	// cpu user nice system idle iowait irq softirq steal (proc(5))
	var user, nice, system, idle, wait, irq, soft int64
	if _, err := fmt.Sscanf(string(text), "cpu %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &wait, &irq, &soft); err != nil {
		return 0
	}
	return time.Duration(user+nice+system+irq+soft) * time.Second / ticksPerSecond
}

// ownTime returns the processor time of this process and of those it started
// and that have ended.
func ownTime() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}
