// Package demo holds the small real dataset that "cairn demo" registers. Its
// README states source and licence.
package demo

import (
	"embed"
	"io/fs"
	"os"
	"path/filepath"
)

//go:embed seattle-weather
var files embed.FS

// Name and License are what the dataset is registered with.
const (
	Name    = "seattle-weather"
	License = "CC-PDM-1.0"
)

// Write puts the dataset into a new folder dir.
func Write(dir string) error {
	return fs.WalkDir(files, Name, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(Name, filepath.FromSlash(path))
		if err != nil {
			return err
		}
		target := filepath.Join(dir, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		b, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, b, 0o644)
	})
}
