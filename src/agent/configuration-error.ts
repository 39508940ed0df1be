// An option that cannot be. Its message names the option.

export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError'
  readonly code = 'BAD_CONFIGURATION'
}
