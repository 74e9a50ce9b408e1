package lab

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Facts say where and how numbers came about, without naming the machine.
type Facts struct {
	Date    string `json:"date"`
	Command string `json:"command"`
	Commit  string `json:"commit"`
	CPU     string `json:"cpu"`
	Cores   int    `json:"cores"`
	Memory  string `json:"memory"`
	Kernel  string `json:"kernel"`
	Go      string `json:"go"`
	// Programs are the versions of what is compared.
	Programs string `json:"programs,omitempty"`
	// Took is how long the run took, Others the share of the processors that
	// processes which are not of the run had.
	Took   string `json:"took"`
	Others string `json:"others"`

	begin     time.Time
	busy, own time.Duration
}

// Repeat is the command that repeats a run elsewhere, from the flags that were
// given. Where things lie is this machine's business, so the flags bin, results
// and note are left out.
func Repeat(program string, set *flag.FlagSet) string {
	command := "go run " + program
	set.Visit(func(f *flag.Flag) {
		v := f.Value.String()
		switch {
		case f.Name == "bin" || f.Name == "results" || f.Name == "note":
		case v == "true":
			command += " -" + f.Name
		case strings.ContainsAny(v, " |()*?$[]\\"):
			command += fmt.Sprintf(" -%s='%s'", f.Name, v)
		default:
			command += fmt.Sprintf(" -%s=%s", f.Name, v)
		}
	})
	return command
}

// Gather begins the facts of a run that the command repeats.
func Gather(ctx context.Context, command string, programs ...string) Facts {
	f := Facts{
		Date: Now().UTC().Format(time.DateOnly), Command: command, Commit: Output(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12"),
		CPU: procField("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Memory: procField("/proc/meminfo", "MemTotal"),
		Kernel: kernel(), Go: runtime.Version(), Programs: strings.Join(programs, ", "),
		begin: Now(), busy: busyTime(), own: ownTime(),
	}
	return f
}

// Finish fills in what is known when the processes of the run have ended.
func (f *Facts) Finish() {
	took := Now().Sub(f.begin)
	f.Took = took.Round(time.Second).String()
	others := max(0, (busyTime()-f.busy)-(ownTime()-f.own))
	f.Others = fmt.Sprintf("%.1f %% of the processors went to other processes and to the kernel's own threads",
		100*others.Seconds()/(took.Seconds()*float64(f.Cores)))
}

// List is the facts for people.
func (f *Facts) List() [][2]string {
	all := [][2]string{
		{"reproduce", "`" + f.Command + "`"},
		{"commit", f.Commit},
		{"processor", fmt.Sprintf("%d × %s", f.Cores, f.CPU)},
		{"memory", f.Memory},
		{"kernel", f.Kernel},
		{"Go", f.Go},
		{"compared with", f.Programs},
		{"run", f.Took + "; " + f.Others},
	}
	var out [][2]string
	for _, v := range all {
		if v[1] != "" && v[1] != "``" {
			out = append(out, v)
		}
	}
	return out
}

// kernel names the kernel without the machine.
func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return strings.Join([]string{unix.ByteSliceToString(u.Sysname[:]), unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Machine[:])}, " ")
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

// busyTime returns the processor time that everything has used since the start of
// the machine, or 0 where the kernel does not say.
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
