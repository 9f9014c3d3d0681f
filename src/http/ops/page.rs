//! Prometheus's text form (version 0.0.4), for numbers that are counted when somebody asks.

use std::fmt::Write;

/// A page of metrics under construction.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// A gauge with its help, which must not have a line break, and its samples.
    pub(super) fn gauge<'a, S>(&mut self, name: &str, help: &str, samples: S)
    where
        S: IntoIterator<Item = (Vec<(&'a str, &'a str)>, f64)>,
    {
        let _ = writeln!(self.0, "# HELP {name} {help}");
        let _ = writeln!(self.0, "# TYPE {name} gauge");
        for (labels, value) in samples {
            let labels: Vec<String> = labels
                .into_iter()
                .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                .collect();
            let _ = match labels.is_empty() {
                true => writeln!(self.0, "{name} {value}"),
                false => writeln!(self.0, "{name}{{{}}} {value}", labels.join(",")),
            };
        }
        self.0.push('\n');
    }

    /// The same with one sample and no labels.
    pub(super) fn number(&mut self, name: &str, help: &str, value: f64) {
        self.gauge(name, help, [(Vec::new(), value)]);
    }

    /// The page, followed by another one.
    pub(super) fn followed_by(self, more: &str) -> String {
        self.0 + more
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_prometheus_wants_it() {
        let mut page = Page::default();
        page.gauge("a_rows", "Rows.", [(vec![("kind", "job"), ("state", "a\"b")], 2.0)]);
        page.number("b_seconds", "Age.", 0.5);
        assert_eq!(
            page.followed_by("c 1\n"),
            "# HELP a_rows Rows.\n# TYPE a_rows gauge\na_rows{kind=\"job\",state=\"a\\\"b\"} 2\n\n\
             # HELP b_seconds Age.\n# TYPE b_seconds gauge\nb_seconds 0.5\n\nc 1\n"
        );
    }
}
