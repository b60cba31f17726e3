package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cairn-registry/cairn/manifests/export/croissant"
)

type reading struct {
	Station string  `parquet:"station"`
	Hour    int64   `parquet:"hour"`
	Value   float64 `parquet:"value"`
}

// parquet FILE N writes a Parquet file of N rows, in several row groups.
func cmdParquet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: parquet file rows")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	w := parquet.NewGenericWriter[reading](f)
	for i := range n {
		_, err := w.Write([]reading{{fmt.Sprintf("station %d", i%7), int64(i), float64(i) / 4}})
		ts.Check(err)
		if i%1000 == 999 {
			ts.Check(w.Flush())
		}
	}
	ts.Check(w.Close())
}

// rows FILE [NAME=N…] reads a Croissant document as a stranger does: it asks each
// contentUrl for its bytes, holds them against size and SHA-256, and reads the
// records of each RecordSet with ordinary readers of CSV, JSON lines and Parquet.
// Every field must be in the data, every RecordSet must have as many records as
// the document says, and the RecordSets must be those that are named.
func cmdRows(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: rows document [name=n…]")
	}
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(croissant.Validate(b))
	type ref struct {
		ID string `json:"@id"`
	}
	var doc struct {
		Distribution []struct {
			ref
			Type   string `json:"@type"`
			URL    string `json:"contentUrl"`
			Size   string `json:"contentSize"`
			SHA256 string `json:"sha256"`
		}
		RecordSet []struct {
			Name    string
			Records *int `json:"cairn:records"`
			Field   []struct {
				Source struct {
					FileObject ref
					Extract    struct{ Column, JSONPath string }
				}
			}
		}
	}
	ts.Check(json.Unmarshal(b, &doc))
	files := make(map[string][]byte)
	for _, f := range doc.Distribution {
		if f.Type != "cr:FileObject" {
			continue
		}
		resp, err := http.Get(f.URL)
		ts.Check(err)
		data, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		ts.Check(err)
		if sum := sha256.Sum256(data); resp.StatusCode != http.StatusOK || hex.EncodeToString(sum[:]) != f.SHA256 || f.Size != "" && f.Size != fmt.Sprint(len(data), " B") {
			ts.Fatalf("%s: %s, %d bytes of SHA-256 %x; the document says %s, %s", f.URL, resp.Status, len(data), sum, f.Size, f.SHA256)
		}
		files[f.ID] = data
	}
	want := make(map[string]string)
	for _, a := range args[1:] {
		name, n, _ := strings.Cut(a, "=")
		want[name] = n
	}
	for _, r := range doc.RecordSet {
		var columns []string
		for _, f := range r.Field {
			columns = append(columns, f.Source.Extract.Column+strings.TrimPrefix(f.Source.Extract.JSONPath, "$."))
		}
		n, err := countRows(r.Name, files[r.Field[0].Source.FileObject.ID], columns)
		ts.Check(err)
		if r.Records == nil || *r.Records != n || want[r.Name] != strconv.Itoa(n) {
			ts.Fatalf("%s has %d records; the document says %v, the script %q", r.Name, n, r.Records, want[r.Name])
		}
		delete(want, r.Name)
	}
	if len(want) > 0 {
		ts.Fatalf("no RecordSet for %v", want)
	}
}

// countRows reads all records of a file, and each of their columns.
func countRows(name string, data []byte, columns []string) (n int, err error) {
	if base, ok := strings.CutSuffix(name, ".gz"); ok {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err == nil {
			data, err = io.ReadAll(z)
		}
		if err != nil {
			return 0, err
		}
		name = base
	}
	switch name[strings.LastIndexByte(name, '.'):] {
	case ".csv":
		all, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
		if err != nil {
			return 0, err
		}
		if got := strings.Join(all[0], ","); got != strings.Join(columns, ",") {
			return 0, fmt.Errorf("%s has the columns %s, the document %v", name, got, columns)
		}
		return len(all) - 1, nil
	case ".jsonl":
		for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); n++ {
			var row map[string]any
			if err := json.Unmarshal(s.Bytes(), &row); err != nil {
				return 0, err
			}
			for _, c := range columns {
				if _, ok := row[c]; !ok {
					return 0, fmt.Errorf("%s: record %d has no %s", name, n, c)
				}
			}
		}
		return n, nil
	}
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return 0, err
	}
	for _, c := range columns {
		if _, ok := f.Schema().Lookup(c); !ok {
			return 0, fmt.Errorf("%s has no column %s", name, c)
		}
	}
	rows := parquet.NewGenericReader[reading](f)
	defer rows.Close()
	buf := make([]reading, 100)
	for {
		k, err := rows.Read(buf)
		n += k
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
