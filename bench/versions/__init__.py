"""``make versions``: the tests that speak to servers, on other releases of these servers."""
