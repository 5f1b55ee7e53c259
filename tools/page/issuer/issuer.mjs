// An issuer on a port of loopback. Whoever signs in is an account whose name says its role: "ada.editor" has the role editor.
import Provider from "oidc-provider";

const [port, redirect] = process.argv.slice(2);
const claims = (account) => ({ preferred_username: account.split(".")[0], roles: [account.split(".")[1] ?? "visitor"] });

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    { client_id: "page", token_endpoint_auth_method: "none", redirect_uris: [redirect], grant_types: ["authorization_code"], response_types: ["code"] },
    { client_id: "ada.contributor", client_secret: "secret", redirect_uris: [], grant_types: ["client_credentials"], response_types: [] },
    { client_id: "eve.visitor", client_secret: "secret", redirect_uris: [], grant_types: ["client_credentials"], response_types: [] },
  ],
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  extraTokenClaims: (_, token) => claims(token.accountId ?? token.clientId),
  pkce: { required: () => true },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => "urn:reasonedit",
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: "edits", audience: "reasonedit", accessTokenFormat: "jwt", accessTokenTTL: 300 }),
    },
  },
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
