//! Which metrics and labels an expression names.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::label::{MatchOp, Matchers};
use promql_parser::parser::{AggregateExpr, BinModifier, BinaryExpr, Expr, LabelModifier, parse};

/// What an expression takes for granted of one metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Labels that its series must have.
    pub(crate) labels: BTreeSet<String>,
    /// Values that some of its series must have.
    pub(crate) values: BTreeSet<(String, String)>,
}

/// By the metric's name.
pub(crate) type Used = BTreeMap<String, Asked>;

/// What Grafana puts in for its own variable, as long as that is some time.
const RATE_INTERVAL: &str = "1m";

/// Parses an expression, with a dashboard's variables in it; says what is wrong with it, or what it names.
pub(crate) fn used(expression: &str) -> Result<Used, String> {
    let expr = parse(&expression.replace("$__rate_interval", RATE_INTERVAL))?;
    let mut used = Used::new();
    walk(&expr, &BTreeSet::new(), &mut used)?;
    Ok(used)
}

/// `grouped`: the labels by which whatever is around groups.
fn walk(expr: &Expr, grouped: &BTreeSet<String>, used: &mut Used) -> Result<(), String> {
    match expr {
        Expr::Aggregate(AggregateExpr { expr, param, modifier, .. }) => {
            // A group is of what comes out of here: what is further out can ask for no other label.
            let by = match modifier {
                Some(LabelModifier::Include(labels)) => labels.labels.iter().cloned().collect(),
                Some(LabelModifier::Exclude(_)) => grouped.clone(),
                None => BTreeSet::new(),
            };
            if let Some(lost) = grouped.difference(&by).next() {
                return Err(format!("it groups by {lost}, which an inner aggregation has dropped"));
            }
            walk(expr, &by, used)?;
            param.iter().try_for_each(|param| walk(param, &BTreeSet::new(), used))
        }
        Expr::Binary(BinaryExpr { lhs, rhs, modifier, .. }) => {
            let mut grouped = grouped.clone();
            if let Some(BinModifier { matching: Some(LabelModifier::Include(on)), .. }) = modifier {
                grouped.extend(on.labels.iter().cloned());
            }
            walk(lhs, &grouped, used)?;
            walk(rhs, &grouped, used)
        }
        Expr::Unary(unary) => walk(&unary.expr, grouped, used),
        Expr::Paren(paren) => walk(&paren.expr, grouped, used),
        Expr::Subquery(subquery) => walk(&subquery.expr, grouped, used),
        Expr::Call(call) => call.args.args.iter().try_for_each(|argument| walk(argument, grouped, used)),
        Expr::VectorSelector(selector) => {
            select(selector.name.as_deref(), &selector.matchers, grouped, used)
        }
        Expr::MatrixSelector(matrix) => {
            select(matrix.vs.name.as_deref(), &matrix.vs.matchers, grouped, used)
        }
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(()),
        Expr::Extension(_) => Err("it is in no language that Prometheus speaks".into()),
    }
}

fn select(
    name: Option<&str>,
    matchers: &Matchers,
    grouped: &BTreeSet<String>,
    used: &mut Used,
) -> Result<(), String> {
    let name = name.ok_or("a selector names no metric")?;
    let asked = used.entry(name.to_owned()).or_default();
    asked.labels.extend(grouped.iter().cloned());
    for matcher in matchers.matchers.iter().chain(matchers.or_matchers.iter().flatten()) {
        asked.labels.insert(matcher.name.clone());
        // A variable may be anything.
        if matches!(matcher.op, MatchOp::Equal) && !matcher.value.contains('$') {
            asked.values.insert((matcher.name.clone(), matcher.value.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(used: &Used, metric: &str) -> Vec<String> {
        used[metric].labels.iter().cloned().collect()
    }

    #[test]
    fn labels_are_those_of_matchers_groups_and_joins() {
        let text = "sum by (le, operation) (rate(a_bucket{cluster=\"$cluster\", outcome!~\"x|y\"}[$__rate_interval])) \
                    / on (pod) group_left b{state=\"down\"} > 5";
        let error = used(text).expect_err("pod is not left of it");
        assert!(error.contains("pod"), "{error}");
        let used = used(&text.replace("le, operation", "le, operation, pod")).expect("it is fine");
        assert_eq!(labels(&used, "a_bucket"), ["cluster", "le", "operation", "outcome", "pod"]);
        assert_eq!(labels(&used, "b"), ["pod", "state"]);
        assert_eq!(used["b"].values.iter().next(), Some(&("state".into(), "down".into())));
        assert!(used["a_bucket"].values.is_empty());
    }

    #[test]
    fn what_does_not_parse_is_told() {
        assert!(used("sum by (x) rate(a[5m])").is_err());
        assert!(used("rate(a)").is_err());
        assert!(used("{x=\"1\"}").is_err());
        let dropped = used("sum by (pod) (sum by (operation) (a))").expect_err("it is dropped");
        assert!(dropped.contains("pod"), "{dropped}");
    }
}
