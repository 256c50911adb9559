// Package rehearsal rehearses a deployment: it runs the real Pulumi engine on the real program against a simulated cloud, with no account and no network,
// step by step from the plan to the destruction, and checks what comes of each step.
//
// The packages below it, each of which uses only those after it:
//
//   - screen is where people read how it goes; build compiles what is missing, and says how far it is;
//   - engine runs the Pulumi CLI, with stand-ins that it attaches to on loopback;
//   - providers has the stand-ins for the providers, for the engine and, as mocks, for unit tests;
//   - checks says what is wrong with a deployment, timeline how long it takes;
//   - kubernetes is the simulated Kubernetes, cloud the simulated Google Cloud: they keep objects, and refuse what the real ones refuse;
//   - cloud/facts holds what the real providers know about fields;
//   - state reads the state of a stack; types and values are the words in which all of them speak.
package rehearsal
