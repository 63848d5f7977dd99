// `tandem.progress` is for scripts and other extensions; the editor itself shows the node's bar.
// Heard all the same: the editor warns of every kind of message that nobody listens to.
import { api } from "../../scripts/api.js";

api.addEventListener("tandem.progress", () => {});
