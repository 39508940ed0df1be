// The one door to what a checkout can do: node scripts/start.js demo|test|check|format|bench [-- arguments passed on].
// Sets up what the command needs and then runs it with the project's own Node 24, whatever Node started this.
// This file must parse on every Node since 12, so that an old one gets a clear message; the work is in lib/.

const major = Number(process.versions.node.split('.')[0])
if (major < 18) {
  console.error(
    `axoneme: Node ${process.versions.node} is too old to start with. Install Node 18 or newer (Debian 12: apt-get install nodejs npm). Nothing was changed.`,
  )
  process.exitCode = 1
} else {
  void import('./lib/commands.js').then(commands => commands.runCommand(process.argv.slice(2)))
}
