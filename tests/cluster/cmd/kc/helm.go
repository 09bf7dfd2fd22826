package main

import (
	"errors"
	"log/slog"
	"os"

	helmcmd "helm.sh/helm/v4/pkg/cmd"
	"helm.sh/helm/v4/pkg/kube"
)

func init() {
	commands["helm"] = func(args []string) int {
		kube.ManagedFieldsManager = "helm"
		cmd, err := helmcmd.NewRootCmd(os.Stdout, args, helmcmd.SetupLogging)
		if err == nil {
			err = cmd.Execute()
		}
		var failed helmcmd.CommandError
		switch {
		case errors.As(err, &failed):
			return failed.ExitCode
		case err != nil:
			slog.Warn("command failed", slog.Any("error", err))
			return 1
		}
		return 0
	}
}
