package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// The groups of verbs in the help.
const (
	groupServer = "server"
	groupAPI    = "api"
	groupMore   = "more"
)

// nearness is how many letters a word may be away from the verb that it is taken
// for; it is cobra's own default.
const nearness = 2

// root returns the command tree.
func (a *app) root() *cobra.Command {
	root := a.group(program, "A self-hosted PrivateLink", helpRoot, exampleRoot)
	root.Version = a.version().Version
	root.SetVersionTemplate(program + " {{.Version}}\n")
	root.SilenceErrors, root.SilenceUsage = true, true // Run writes both, in one form
	root.SetIn(a.d.Stdin)
	root.SetOut(a.d.Stdout)
	root.SetErr(a.d.Stderr)
	root.SetUsageTemplate(usageTemplate(root.UsageTemplate()))
	root.AddGroup(
		&cobra.Group{ID: groupServer, Title: "Run a server:"},
		&cobra.Group{ID: groupAPI, Title: "Use one:"},
		&cobra.Group{ID: groupMore, Title: "More:"},
	)
	root.AddCommand(
		a.serveCommand(), a.devCommand(), a.doctorCommand(), a.configGroup(), a.hashPasswordCommand(),
		a.serviceGroup(), a.endpointGroup(), a.connectionGroup(), a.permissionGroup(), a.clusterGroup(), a.gatewayGroup(),
		a.quotaCommand(), a.tokenCommand(),
		a.versionCommand(), environmentTopic(),
	)
	root.SetHelpCommand(helpCommand())
	root.SetCompletionCommandGroupID(groupMore)
	root.InitDefaultCompletionCmd()
	a.finishCompletion(root)
	return root
}

// usageTemplate changes cobra's in two places: a group of verbs is not called
// without one, though it has a function that says so; and the flags that a verb
// shares with others are named for what they are.
func usageTemplate(t string) string {
	t = strings.Replace(t, "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1)
	return strings.Replace(t, "Global Flags:", "Flags of every verb of the API:", 1)
}

// group returns a command that has verbs and is none. Without a verb, or with one
// that it does not have, it says so: cobra alone would print the help and call
// that a success.
func (a *app) group(name, short, long, example string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short, Long: long, Example: example, Args: cobra.ArbitraryArgs}
	cmd.RunE = a.groupRun
	cmd.AddCommand(verbs...)
	return cmd
}

func (a *app) groupRun(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		cmd.SetOut(a.d.Stderr)
		if err := cmd.Help(); err != nil {
			return fmt.Errorf("print the help: %w", err)
		}
		return usagef("a verb is missing")
	}
	cmd.SuggestionsMinimumDistance = nearness
	text := fmt.Sprintf("there is no verb %q", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return &usageError{text}
}

// apiGroup is a group whose verbs speak the API.
func (a *app) apiGroup(name, short, long, example string, verbs ...*cobra.Command) *cobra.Command {
	cmd := a.group(name, short, long, example, verbs...)
	cmd.GroupID = groupAPI
	a.flags.add(cmd.PersistentFlags())
	for _, v := range verbs {
		v.ValidArgsFunction = cobra.NoFileCompletions // ids are not files
		completeWords(v)
	}
	return cmd
}

// need marks flags that a verb cannot do without.
func need(cmd *cobra.Command, names ...string) {
	for _, n := range names {
		if err := cmd.MarkFlagRequired(n); err != nil {
			panic(err) // a flag that the verb does not have: the tree cannot be built at all
		}
	}
}

// completeWords lets a shell complete the flags that take one of a few words.
func completeWords(cmd *cobra.Command) {
	for _, set := range []string{"status", "sort-key", "sort-dir", "server-type", "tcp-proxy", "type"} {
		if f := cmd.Flags().Lookup(set); f != nil {
			if e, ok := f.Value.(*enumValue); ok {
				if err := cmd.RegisterFlagCompletionFunc(set, cobra.FixedCompletions(e.allowed, cobra.ShellCompDirectiveNoFileComp)); err != nil {
					panic(err) // the flag was just looked up
				}
			}
		}
	}
}

// helpCommand is "help" that fails for what does not exist.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [VERB]...", GroupID: groupMore, Short: "Explain a verb or a topic", Long: helpHelp, Example: exampleHelp,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			found, rest, err := cmd.Root().Find(args)
			var list []cobra.Completion
			if err == nil && len(rest) == 0 {
				for _, c := range found.Commands() {
					if c.IsAvailableCommand() || c.IsAdditionalHelpTopicCommand() {
						list = append(list, cobra.CompletionWithDesc(c.Name(), c.Short))
					}
				}
			}
			return list, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("there is no help for %q", strings.Join(args, " "))
			}
			found.InitDefaultHelpFlag() // so that they are listed
			found.InitDefaultVersionFlag()
			return found.Help()
		},
	}
}

// finishCompletion gives the commands that cobra makes what ours have.
func (a *app) finishCompletion(root *cobra.Command) {
	for _, c := range root.Commands() {
		if c.Name() != "completion" {
			continue
		}
		c.Args, c.RunE = cobra.ArbitraryArgs, a.groupRun
		c.Example = "  # complete verbs and flags in this shell\n  source <(" + program + " completion bash)"
		for _, shell := range c.Commands() {
			shell.Example = fmt.Sprintf("  %s completion %s", program, shell.Name())
		}
	}
}

// environmentTopic is the help topic about variables and profiles.
func environmentTopic() *cobra.Command {
	topic := &cobra.Command{Use: "environment", Short: "Variables and profiles: address, credentials, project", Long: environmentText(), Example: exampleEnvironment}
	topic.SetHelpTemplate("{{.Long}}\n\nExamples:\n{{.Example}}\n") // cobra's leaves the examples of topics out
	return topic
}

// environmentText explains the settings; the table in it is that of the code.
func environmentText() string {
	var b strings.Builder
	b.WriteString(helpEnvironment + "\n\n")
	for _, s := range settings {
		fmt.Fprintf(&b, "  %-14s %s\n  %-14s flag --%s, %s\n", s.key, strings.ReplaceAll(s.usage, "`", ""), "", s.flag(), strings.Join(s.env, ", "))
	}
	b.WriteString("\n" + helpEnvironmentMore)
	return b.String()
}
