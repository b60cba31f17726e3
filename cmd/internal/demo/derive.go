package demo

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The works that "cairn demo credit" derives from the daily weather, a file in a
// folder each.
const (
	Daily  = "daily"  // the observations as they are
	Months = "months" // precipitation by month, from Daily
	Frost  = "frost"  // the days with frost, from Daily
	Winter = "winter" // wet months beside their days of frost, from Months and Frost
)

// WriteDerived writes the four works as folders below dir.
func WriteDerived(dir string) error {
	b, err := files.ReadFile(Name + "/daily.csv")
	if err != nil {
		return err
	}
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		return err
	}
	months, frost, winter, err := derive(rows[1:])
	if err != nil {
		return err
	}
	for name, text := range map[string]string{Daily: string(b), Months: months, Frost: frost, Winter: winter} {
		folder := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(filepath.Join(folder, name+".csv"), []byte(text), 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// derive computes the derived tables from rows of date, precipitation,
// temp_max, temp_min, wind, weather.
func derive(rows [][]string) (months, frost, winter string, err error) {
	var m, f, w strings.Builder
	m.WriteString("month,precipitation_mm\n")
	f.WriteString("date,temp_min\n")
	w.WriteString("month,precipitation_mm,frost_days\n")
	tenths, days := 0, 0 // of the month, in tenths of a millimetre
	for i, r := range rows {
		rain, err1 := strconv.ParseFloat(r[1], 64)
		low, err2 := strconv.ParseFloat(r[3], 64)
		if err := errors.Join(err1, err2); err != nil {
			return "", "", "", err
		}
		tenths += int(rain*10 + 0.5)
		if low < 0 {
			days++
			fmt.Fprintf(&f, "%s,%s\n", r[0], r[3])
		}
		month := r[0][:7]
		if i+1 < len(rows) && rows[i+1][0][:7] == month {
			continue
		}
		fmt.Fprintf(&m, "%s,%d.%d\n", month, tenths/10, tenths%10)
		if days > 0 {
			fmt.Fprintf(&w, "%s,%d.%d,%d\n", month, tenths/10, tenths%10, days)
		}
		tenths, days = 0, 0
	}
	return m.String(), f.String(), w.String(), nil
}
