//! Aligns rows in columns, and leaves out the least important columns if the terminal is too narrow.

use super::style::{columns as wide, pad, pad_start};

/// A column: its heading, the alignment of its cells, and its rank. The columns with the highest rank are left out
/// first.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) heading: &'static str,
    pub(crate) align: Align,
    pub(crate) rank: u8,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Align {
    Left,
    Right,
}

const GAP: &str = "  ";

/// The columns that are shown, each with its place in a row and its width.
#[derive(Debug)]
pub(crate) struct Grid(Vec<(usize, &'static Column, usize)>);

impl Grid {
    /// Fits `rows` into the `width` of a terminal, if there is a terminal. Each row has a cell for every column.
    pub(crate) fn fitting(columns: &'static [Column], rows: &[Vec<String>], width: Option<usize>) -> Self {
        let measure = |(place, column): (usize, &'static Column)| {
            let cells = rows.iter().map(|cells| wide(&cells[place]));
            (place, column, cells.max().unwrap_or(0).max(wide(column.heading)))
        };
        let mut shown: Vec<_> = columns.iter().enumerate().map(measure).collect();
        let total =
            |shown: &[(usize, &Column, usize)]| shown.iter().map(|(.., width)| GAP.len() + width).sum::<usize>();
        while shown.len() > 1 && width.is_some_and(|width| total(&shown) > width) {
            let worst = shown.iter().map(|(_, column, _)| column.rank).max();
            shown.retain(|(_, column, _)| Some(column.rank) != worst);
        }
        Self(shown)
    }

    pub(crate) fn heading(&self) -> String {
        self.line(|_, column| column.heading)
    }

    pub(crate) fn row(&self, cells: &[String]) -> String {
        self.line(|place, _| &cells[place])
    }

    fn line<'a>(&self, cell: impl Fn(usize, &'static Column) -> &'a str) -> String {
        let mut line = String::new();
        for (place, column, width) in &self.0 {
            let cell = cell(*place, column);
            line.push_str(GAP);
            line.push_str(&match column.align {
                Align::Left => pad(cell, *width),
                Align::Right => pad_start(cell, *width),
            });
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column { heading: "name", align: Align::Left, rank: 0 },
        Column { heading: "by", align: Align::Right, rank: 2 },
        Column { heading: "size", align: Align::Right, rank: 1 },
    ];

    fn rows() -> [Vec<String>; 3] {
        [["部品を作る", "ci", "1 B"], ["hello", "🦀🦀", "12.3 MB"], ["e\u{301}", "", "2 B"]]
            .map(|row| row.map(str::to_owned).into())
    }

    #[test]
    fn grid_aligns_wide_characters() {
        let grid = Grid::fitting(&COLUMNS, &rows(), None);
        let lines: Vec<_> = std::iter::once(grid.heading()).chain(rows().iter().map(|row| grid.row(row))).collect();
        assert_eq!(
            lines,
            [
                "  name          by     size",
                "  部品を作る    ci      1 B",
                "  hello       🦀🦀  12.3 MB",
                "  e\u{301}                     2 B",
            ]
        );
        assert!(lines.iter().all(|line| wide(line) == wide(&lines[0])), "{lines:#?}");
    }

    #[test]
    fn grid_omits_a_column_that_wide_characters_push_out() {
        let shown = |width| Grid::fitting(&COLUMNS, &rows(), Some(width)).heading();
        assert_eq!(shown(27), "  name          by     size");
        assert_eq!(shown(26), "  name           size");
    }
}
