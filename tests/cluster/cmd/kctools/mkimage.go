package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path"
	"runtime"
	"strings"
)

// mkimage writes an image archive (the format of "docker save", which containerd and docker import) that holds the
// named files and nothing else. The same input gives the same bytes.
func mkimage(args []string) error {
	flags := flag.NewFlagSet("mkimage", flag.ExitOnError)
	name := flags.String("name", "", "image reference")
	out := flags.String("o", "", "archive to write")
	entrypoint := flags.String("entrypoint", "", "space-separated entrypoint")
	user := flags.String("user", "", "user of the image")
	labels := map[string]string{}
	flags.Func("label", "KEY=VALUE; may be repeated", func(text string) error {
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return fmt.Errorf("want KEY=VALUE")
		}
		labels[key] = value
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *name == "" || *out == "" || flags.NArg() == 0 {
		return fmt.Errorf("-name, -o and at least one SOURCE[:PATH] are needed")
	}
	layer, err := layerOf(flags.Args())
	if err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config": map[string]any{
			"Entrypoint": strings.Fields(*entrypoint), "User": *user, "Env": []string{"PATH=/"}, "Labels": labels,
		},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
	if err != nil {
		return err
	}
	configName := strings.TrimPrefix(digest(config), "sha256:") + ".json"
	manifest, err := json.Marshal([]map[string]any{
		{"Config": configName, "RepoTags": []string{*name}, "Layers": []string{"layer.tar"}},
	})
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, entry := range []struct {
		name string
		data []byte
	}{{configName, config}, {"layer.tar", layer}, {"manifest.json", manifest}} {
		if err := addFile(w, entry.name, 0o644, entry.data); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return replaceFile(*out, archive.Bytes())
}

// layerOf packs SOURCE[:PATH] entries as executable files, beside a /tmp for everybody.
func layerOf(entries []string) ([]byte, error) {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777}); err != nil {
		return nil, err
	}
	for _, entry := range entries {
		source, target, ok := strings.Cut(entry, ":")
		if !ok {
			target = path.Base(source)
		}
		data, err := os.ReadFile(source)
		if err != nil {
			return nil, err
		}
		if err := addFile(w, strings.TrimPrefix(target, "/"), 0o755, data); err != nil {
			return nil, err
		}
	}
	return layer.Bytes(), w.Close()
}

func addFile(w *tar.Writer, name string, mode int64, data []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

func digest(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

// replaceFile writes beside the target and renames, so that a reader never sees half an archive.
func replaceFile(name string, data []byte) error {
	temporary := fmt.Sprintf("%s.%d", name, os.Getpid())
	if err := os.WriteFile(temporary, data, 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, name)
}
