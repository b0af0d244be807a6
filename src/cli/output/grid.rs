//! Aligns rows in columns, and leaves out the least important columns if the terminal is too narrow.

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
            let cells = rows.iter().map(|cells| cells[place].chars().count());
            (place, column, cells.max().unwrap_or(0).max(column.heading.len()))
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
            let cell = match column.align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            };
            line.push_str(&cell);
        }
        line.truncate(line.trim_end().len());
        line
    }
}
