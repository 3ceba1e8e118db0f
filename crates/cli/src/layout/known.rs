//! The layout as a node tells it, and which node is meant by a name.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail, ensure};
use quorate_proto::v1;

use crate::admin;
use crate::text::natural;

/// The layout, and whom it came from.
pub(crate) struct Known {
    /// The node that has told it, and that is asked to change it.
    pub(crate) endpoint: String,
    pub(crate) layout: v1::Layout,
    pub(crate) names: Names,
}

/// The names of nodes, for people.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    by_id: BTreeMap<u64, String>,
}

impl Names {
    pub(crate) fn of(layout: &v1::Layout) -> Self {
        let after = layout.change.iter().flat_map(|change| &change.members);
        let members = layout.members.iter().chain(after);
        Self { by_id: members.map(|member| (member.node_id, member.name.clone())).collect() }
    }

    pub(crate) fn get(&self, id: u64) -> String {
        match self.by_id.get(&id) {
            Some(name) if !name.is_empty() => name.clone(),
            _ => format!("{id:016x}"),
        }
    }

    pub(crate) fn list(&self, ids: &[u64]) -> String {
        ids.iter().map(|&id| self.get(id)).collect::<Vec<_>>().join(", ")
    }

    /// What a node has said, with names in the place of ids.
    pub(crate) fn fill_in(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (id, name) in self.by_id.iter().filter(|(_, name)| !name.is_empty()) {
            text = text.replace(&format!("{id:016x}"), name);
        }
        text
    }
}

impl Known {
    pub(crate) fn of(endpoint: String, layout: v1::Layout) -> Self {
        Self { endpoint, names: Names::of(&layout), layout }
    }

    /// From the first of these that tells it.
    pub(crate) async fn ask(endpoints: &[String]) -> Result<Self> {
        let mut errors = Vec::new();
        for endpoint in endpoints {
            match admin::layout(endpoint).await {
                Ok(layout) => return Ok(Self::of(endpoint.clone(), layout)),
                Err(error) => errors.push(format!("{error:#}")),
            }
        }
        bail!("{}", errors.join("; "))
    }

    /// The members in the order of their numbers: that of their names, as people sort them.
    pub(crate) fn members(&self) -> Vec<&v1::Member> {
        let mut members: Vec<&v1::Member> = self.layout.members.iter().collect();
        members.sort_by_key(|member| (natural(&member.name), member.node_id));
        members
    }

    /// Which member is meant: its name, id, or number among the names in order.
    pub(crate) fn resolve(&self, text: &str) -> Result<u64> {
        let members = self.members();
        let named =
            members.iter().find(|member| member.name == text || format!("{:016x}", member.node_id) == text);
        if let Some(member) = named {
            return Ok(member.node_id);
        }
        let count = members.len();
        // An id may consist of digits.
        let number = if text.len() < 16 { text.parse::<usize>().ok() } else { None };
        match number {
            Some(number) if (1..=count).contains(&number) => Ok(members[number - 1].node_id),
            Some(number) => bail!("node {number}: the members are 1 to {count}"),
            None => bail!("node {text:?}: there is no member of that name or id; they are 1 to {count}"),
        }
    }

    pub(crate) fn resolve_all(&self, texts: &[String]) -> Result<Vec<u64>> {
        texts.iter().map(|text| self.resolve(text)).collect()
    }

    /// What running nodes are to be as members: each says who it is.
    pub(crate) async fn introduce(&self, specs: &[MemberSpec]) -> Result<Vec<v1::Member>> {
        self.introduce_for(specs, &[]).await
    }

    /// The same, while these members go in the same change, and their names are free.
    pub(crate) async fn introduce_for(&self, specs: &[MemberSpec], gone: &[u64]) -> Result<Vec<v1::Member>> {
        let mut members = Vec::new();
        for spec in specs {
            let status = admin::status(&spec.address, false).await?;
            let is_of_this = status.cluster_id == self.layout.cluster_id;
            ensure!(
                status.cluster_id.is_empty() || is_of_this,
                "{} belongs to another cluster",
                spec.address
            );
            ensure!(
                status.membership() != v1::Membership::Left,
                "{} has left this cluster, and an id is never used again: start it with an empty data directory",
                spec.address
            );
            let is_member = self.layout.members.iter().any(|member| member.node_id == status.node_id);
            ensure!(!is_member, "{} is a member already, {}", spec.address, self.names.get(status.node_id));
            members.push(self.member(spec, &status, &members, gone)?);
        }
        Ok(members)
    }

    /// What is not asked for is as the node's configuration says.
    fn member(
        &self,
        spec: &MemberSpec,
        status: &v1::StatusResponse,
        before: &[v1::Member],
        gone: &[u64],
    ) -> Result<v1::Member> {
        let stays = self.layout.members.iter().filter(|member| !gone.contains(&member.node_id));
        let taken = |name: &str| stays.clone().chain(before).any(|member| member.name == name);
        let configured = (!status.configured_name.is_empty()).then(|| status.configured_name.clone());
        let name = match spec.name.clone().or(configured) {
            Some(name) => name,
            None => (1..=usize::MAX)
                .map(|number| format!("node-{number}"))
                .find(|name| !taken(name))
                .context("all names are taken")?,
        };
        ensure!(!taken(&name), "{}: another member is named {name:?} already", spec.address);
        Ok(v1::Member {
            node_id: status.node_id,
            name,
            peer_address: status.peer_address.clone(),
            zone: spec.zone.clone().unwrap_or_else(|| status.configured_zone.clone()),
            weight: spec.weight.unwrap_or(status.configured_weight),
        })
    }
}

/// `host:port,name=a,zone=z,weight=2`: a running node, and what it is to be as a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemberSpec {
    pub(crate) address: String,
    pub(crate) name: Option<String>,
    pub(crate) zone: Option<String>,
    pub(crate) weight: Option<u32>,
}

impl FromStr for MemberSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let address = parts.next().unwrap_or_default().to_owned();
        if address.is_empty() {
            return Err("its address is missing: host:port,name=a,zone=z,weight=2".into());
        }
        let mut spec = Self { address, ..Self::default() };
        for part in parts {
            match part.split_once('=') {
                Some(("name", name)) => spec.name = Some(name.to_owned()),
                Some(("zone", zone)) => spec.zone = Some(zone.to_owned()),
                Some(("weight", weight)) => spec.weight = Some(self::weight(weight)?),
                _ => return Err(format!("{part:?} is none of name=, zone=, weight=")),
            }
        }
        Ok(spec)
    }
}

fn weight(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("weight: {text:?} is no number from 1")),
        Ok(weight) => Ok(weight),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    fn known() -> Known {
        let member = |node_id, name: &str| v1::Member { node_id, name: name.into(), ..Default::default() };
        let members = vec![member(3, "c"), member(0xAB, "node-1"), member(0x1111_1111_1111_1111, "1")];
        let layout = v1::Layout { members, ..Default::default() };
        Known { endpoint: String::new(), names: Names::of(&layout), layout }
    }

    #[test]
    fn members_are_found_by_number_name_and_id() {
        let known = known();
        let cases = [
            ("2", 3),
            ("3", 0xAB),
            ("node-1", 0xAB),
            ("1", 0x1111_1111_1111_1111),
            ("00000000000000ab", 0xAB),
        ];
        for (text, id) in cases {
            assert_eq!(known.resolve(text).unwrap(), id, "{text}");
        }
        for (text, told) in [
            ("0", "the members are 1 to 3"),
            ("4", "node 4: "),
            ("x", "\"x\""),
            ("0000000000000002", "name or id"),
        ] {
            assert!(known.resolve(text).unwrap_err().to_string().contains(told), "{text}");
        }
    }

    #[test]
    fn people_read_names() {
        let names = known().names;
        assert_eq!(names.list(&[3, 9]), "c, 0000000000000009");
        assert_eq!(names.fill_in("not 0000000000000003."), "not c.");
    }

    #[test]
    fn members_are_specified() {
        let spec: MemberSpec = "a:7700,name=first,zone=z1,weight=3".parse().unwrap();
        let (name, zone) = (Some("first".into()), Some("z1".into()));
        assert_eq!(spec, MemberSpec { address: "a:7700".into(), name, zone, weight: Some(3) });
        assert_eq!("a:1".parse::<MemberSpec>().unwrap().weight, None);
        for wrong in ["", ",zone=a", "a:1,weight=0", "a:1,rack=3", "a:1,zone"] {
            assert!(wrong.parse::<MemberSpec>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_new_member_is_what_was_asked_and_else_what_it_says() {
        let known = known();
        let status = v1::StatusResponse {
            node_id: 9,
            peer_address: "p:1".into(),
            configured_zone: "south".into(),
            configured_weight: 2,
            ..Default::default()
        };
        let member = known.member(&"a:1".parse().unwrap(), &status, &[], &[]).unwrap();
        assert_eq!((member.name.as_str(), member.zone.as_str(), member.weight), ("node-2", "south", 2));
        let member = known.member(&"a:1,name=x,zone=,weight=5".parse().unwrap(), &status, &[], &[]).unwrap();
        assert_eq!((member.name.as_str(), member.zone.as_str(), member.weight), ("x", "", 5));
        assert!(
            known.member(&"a:1,name=c".parse().unwrap(), &status, &[], &[]).is_err(),
            "the name is taken"
        );
    }
}
