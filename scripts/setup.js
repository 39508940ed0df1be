// Sets a checkout up: Debian packages, npm packages, compiled programs. Does only what is missing, so running it again is cheap.
// Promises either a finished set-up or one message that says what to do. Usage: node scripts/setup.js [--build]
// This file must parse on every Node since 12, so that an old one gets a clear message; the work is in lib/.

const major = Number(process.versions.node.split('.')[0])
if (major < 18) {
  console.error(
    `axoneme: Node ${process.versions.node} is too old to set up with. Install Node 18 or newer (Debian 12: apt-get install nodejs npm). Nothing was changed.`,
  )
  process.exitCode = 1
} else {
  void import('./lib/commands.js').then(commands => commands.runSetup(process.argv.slice(2)))
}
