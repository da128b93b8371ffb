//! The singular of a list's name: Rails' own rules, and an operator's before them.

/// Singulars of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inflection {
    /// Of these plurals these singulars; a name that ends in one after an underscore has it, too.
    own: Vec<(Box<str>, Box<str>)>,
}

/// Words that are their own plural.
const UNCOUNTABLE: [&str; 10] = [
    "equipment",
    "information",
    "rice",
    "money",
    "species",
    "series",
    "fish",
    "sheep",
    "jeans",
    "police",
];

/// Words of which the plural follows no rule.
const IRREGULAR: [(&str, &str); 6] = [
    ("people", "person"),
    ("men", "man"),
    ("children", "child"),
    ("sexes", "sex"),
    ("moves", "move"),
    ("zombies", "zombie"),
];

/// What an ending becomes; the first that fits counts. Rails tries its rules from the last one.
const ENDINGS: [(&str, &str); 50] = [
    ("databases", "database"),
    ("quizzes", "quiz"),
    ("matrices", "matrix"),
    ("vertices", "vertex"),
    ("indices", "index"),
    ("aliases", "alias"),
    ("alias", "alias"),
    ("statuses", "status"),
    ("status", "status"),
    ("octopi", "octopus"),
    ("octopus", "octopus"),
    ("viri", "virus"),
    ("virus", "virus"),
    ("crisis", "crisis"),
    ("crises", "crisis"),
    ("testis", "testis"),
    ("testes", "testis"),
    ("shoes", "shoe"),
    ("oes", "o"),
    ("buses", "bus"),
    ("bus", "bus"),
    ("xes", "x"),
    ("ches", "ch"),
    ("sses", "ss"),
    ("shes", "sh"),
    ("movies", "movie"),
    ("series", "series"),
    ("quies", "quy"),
    ("lves", "lf"),
    ("rves", "rf"),
    ("tives", "tive"),
    ("hives", "hive"),
    ("analyses", "analysis"),
    ("analysis", "analysis"),
    ("bases", "basis"),
    ("basis", "basis"),
    ("diagnoses", "diagnosis"),
    ("diagnosis", "diagnosis"),
    ("parentheses", "parenthesis"),
    ("parenthesis", "parenthesis"),
    ("prognoses", "prognosis"),
    ("prognosis", "prognosis"),
    ("synopses", "synopsis"),
    ("synopsis", "synopsis"),
    ("theses", "thesis"),
    ("thesis", "thesis"),
    ("ta", "tum"),
    ("ia", "ium"),
    ("news", "news"),
    ("ss", "ss"),
];

/// Words whose plural follows no rule where nothing stands before them.
const ALONE: [(&str, &str); 5] =
    [("mice", "mouse"), ("lice", "louse"), ("axes", "axis"), ("axis", "axis"), ("oxen", "ox")];

impl Inflection {
    /// Rails' rules, and before them these plurals with their singulars.
    pub fn new(own: impl IntoIterator<Item = (String, String)>) -> Self {
        let own = own.into_iter().map(|(many, one)| (many.into(), one.into())).collect();
        Self { own }
    }

    /// The plural of the name of a record: one whose singular that name is.
    pub fn plural(&self, name: &str) -> String {
        let own = self.own.iter().find(|(_, one)| **one == *name);
        if let Some((many, _)) = own {
            return many.to_string();
        }
        let irregular = IRREGULAR.iter().chain(&ALONE).find(|(_, one)| *one == name);
        if let Some((many, _)) = irregular {
            return (*many).to_owned();
        }
        let stem = name.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u']));
        let many = match stem {
            Some(stem) => format!("{stem}ies"),
            None if name.ends_with("sis") => format!("{}ses", &name[..name.len() - 3]),
            None if ["s", "x", "ch", "sh"].iter().any(|end| name.ends_with(end)) => {
                format!("{name}es")
            }
            None => format!("{name}s"),
        };
        if self.singular(&many) == name { many } else { format!("{name}s") }
    }

    /// The singular of a name.
    pub fn singular(&self, name: &str) -> String {
        let own =
            |name: &str| self.own.iter().find(|(many, _)| **many == *name).map(|(_, one)| one);
        if let Some(one) = own(name) {
            return one.to_string();
        }
        if let Some((stem, word)) = name.rsplit_once('_')
            && let Some(one) = own(word)
        {
            return format!("{stem}_{one}");
        }
        singular(name)
    }
}

fn singular(name: &str) -> String {
    let ends = |ending: &str| name.strip_suffix(ending);
    if UNCOUNTABLE.contains(&name) {
        return name.to_owned();
    }
    for (many, one) in ALONE {
        if name == many {
            return one.to_owned();
        }
    }
    for (many, one) in IRREGULAR.into_iter().chain(ENDINGS) {
        if let Some(stem) = ends(many) {
            return format!("{stem}{one}");
        }
    }
    if let Some(stem) = ends("ies")
        && !stem.ends_with(['a', 'e', 'i', 'o', 'u', 'y'])
        && !stem.is_empty()
    {
        return format!("{stem}y");
    }
    if let Some(stem) = ends("ves")
        && !stem.ends_with('f')
        && !stem.is_empty()
    {
        return format!("{stem}fe");
    }
    ends("s").unwrap_or(name).to_owned()
}
