//! Which calls could have made which jobs: maximum matchings of a small two-sided graph.

/// For each job, the calls that could have made it (indexes below `calls`).
pub(super) type Edges = Vec<Vec<usize>>;

/// How many jobs can be given to different calls at once (Kuhn's augmenting paths).
pub(super) fn maximum(edges: &Edges, calls: usize) -> usize {
    let mut made: Vec<Option<usize>> = vec![None; calls];
    let mut size = 0;
    for job in 0..edges.len() {
        let mut tried = vec![false; calls];
        if augment(edges, job, &mut made, &mut tried) {
            size += 1;
        }
    }
    size
}

fn augment(edges: &Edges, job: usize, made: &mut [Option<usize>], tried: &mut [bool]) -> bool {
    let Some(calls) = edges.get(job) else { return false };
    for &call in calls {
        if tried.get(call).copied().unwrap_or(true) {
            continue;
        }
        if let Some(seen) = tried.get_mut(call) {
            *seen = true;
        }
        let free = match made.get(call).copied().flatten() {
            None => true,
            Some(other) => augment(edges, other, made, tried),
        };
        if free && let Some(slot) = made.get_mut(call) {
            *slot = Some(job);
            return true;
        }
    }
    false
}

/// The jobs that every maximum matching gives to a call of the group: without those edges fewer
/// jobs find a call.
pub(super) fn forced(edges: &Edges, calls: usize, group: impl Fn(usize) -> bool) -> Vec<usize> {
    let all = maximum(edges, calls);
    (0..edges.len())
        .filter(|&job| {
            let mut without = edges.clone();
            match without.get_mut(job) {
                Some(edge) if edge.iter().any(|&call| group(call)) => {
                    edge.retain(|&call| !group(call));
                }
                _ => return false,
            }
            maximum(&without, calls) < all
        })
        .collect()
}
