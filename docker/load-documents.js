// Puts the documents and indexes of the sample's deployment over S3 into MongoDB; collections that have documents are left alone.
const fs = require("fs");
const folder = "/sample/chronos-public/s3-sample/mongo";

for (const database of fs.readdirSync(folder)) {
  const to = db.getSiblingDB(database);
  for (const file of fs.readdirSync(`${folder}/${database}`).filter(name => name.endsWith(".jsonl"))) {
    const collection = to.getCollection(file.slice(0, -".jsonl".length));
    const lines = fs.readFileSync(`${folder}/${database}/${file}`, "utf8").split("\n").filter(line => line !== "");
    if (lines.length > 0 && collection.countDocuments({}, { limit: 1 }) === 0) {
      collection.insertMany(lines.map(line => EJSON.parse(line, { relaxed: false })));
    }
  }
  const indexes = JSON.parse(fs.readFileSync(`${folder}/${database}/_indexes.json`, "utf8"));
  for (const [collection, wanted] of Object.entries(indexes)) {
    const made = wanted.filter(index => index.name !== "_id_").map(({ v, ...index }) => index);
    if (made.length > 0) {
      to.runCommand({ createIndexes: collection, indexes: made });
    }
  }
}
